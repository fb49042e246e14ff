"""The fill rule against recorded values: without it no model comparison means anything."""

import zlib

import numpy as np

from tests.parity.fixtures import fill, load_json


def test_recorded_values() -> None:
    check = load_json("fill_check")
    rows = check["rows"]
    filled = fill({key: shape for key, shape, *_ in rows}, check["fill_seed"])
    assert len(rows) > 0
    for key, shape, first, last, crc in rows:
        assert zlib.crc32(key.encode()) == crc, key
        assert list(filled[key].shape) == shape, key
        values = filled[key].flatten().numpy()
        np.testing.assert_allclose(values[:4], np.asarray(first)[: values.size], rtol=1e-6, err_msg=key)
        np.testing.assert_allclose(values[-1], last, rtol=1e-6, err_msg=key)
