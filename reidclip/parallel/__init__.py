"""Several processes at one run, one per GPU or more than one on a CPU; the results are those of one process.

Every process reads its own consecutive part of each batch and encodes it. Features are gathered, with gradients, before the heads and
the losses, so that triplets, contrasts, centres and BatchNorm see the whole batch in the order in which one process would see it; each
process computes the same loss from it, and the mean of the processes' gradients is the gradient of the whole batch. Batches that a
wrapper such as DistributedDataParallel would split cannot be had so: it averages losses of parts.

`processes` joins and ends them, `rows` splits and gathers, `batch_norm` is for encoders with BatchNorm.
"""
