"""The equations of CLIP3DReID. Of (3)-(7) the paper's single lines are not at hand: their numbers here are ours, see PAPER.md.

Letters: B pictures, M mesh renders, N places of the student's map, P = 16 pairs of phrases, D width of CLIP's joint space, C channels of
the map, W width of f_id, K identities, V vertices.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from reidclip.formulas.phrases import choose_phrases
from reidclip.formulas.transport import Plan, cosine_cost, sinkhorn
from reidclip.train.descriptions import chosen_texts


def eq02_descriptions(g: Tensor, texts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. (2), H: of each pair the phrase whose text is nearer to the picture's feature by cosine.

    Args:
        g: (B, D) teacher's image features.
        texts: (P, 2, D) text features of both phrases of each pair.

    Returns:
        scores (B, P, 2), choices (B, P) and H (B, P, D).
    """
    scores, choices, _ = choose_phrases(g, texts)
    return scores, choices, chosen_texts(texts, choices)


def eq03_cost(F_map: Tensor, H_words: Tensor) -> Tensor:
    """Eq. (3), C_nm = 1 - cos(F_n, H'_m), H' = Psi(H); F (B, N, C), H' (B, P, C) -> (B, N, P)."""
    return cosine_cost(F_map, H_words)


def eq06_plan(cost: Tensor, regularisation: float = 1.0, iterations: int = 1, tolerance: float | None = None) -> Plan:
    """Eq. (6), T = diag(a) K diag(b), K = exp(-C / lambda), (4) and (5) within; C (B, N, P) -> `Plan`."""
    return sinkhorn(cost, regularisation=regularisation, iterations=iterations, tolerance=tolerance)


def eq07_distance(d: Tensor) -> Tensor:
    """Eq. (7), OT: mean of d = <T, C> over pictures, or over mesh renders, for which it is the second term of eq. (9); (B,) -> scalar."""
    return d.mean()


def eq08_global(g: Tensor, f: Tensor) -> Tensor:
    """Eq. (8), L_global = ||Phi(g) - f_id||^2, mean over pictures; Phi(g) and f (B, W) -> scalar, in at least float32."""
    return (g.float() - f.float()).square().sum(1).mean()


def eq08_global_by_logits(teacher: Tensor, student: Tensor, temperature: float = 2.0) -> Tensor:
    """Eq. (8) as the program has it: KL(softmax(teacher / t) || softmax(student / t)), mean over pictures; logits (B, K) -> scalar.

    The teacher's logits have a gradient too, and the value is not multiplied by the squared temperature: as published.
    """
    of_teacher = F.log_softmax(teacher.float() / temperature, dim=1)
    of_student = F.log_softmax(student.float() / temperature, dim=1)
    return F.kl_div(of_student, of_teacher, reduction="batchmean", log_target=True)


def eq09_shape(predicted: Tensor, truth: Tensor) -> Tensor:
    """Eq. (9), ||body(phi(f_id)) - P||^2: squared distance of vertices in square metres, mean over vertices and bodies.

    Both (M, V, 3) in the canonical pose -> scalar. The other term of eq. (9), OT on mesh renders, is eq. (7) of them.
    """
    return (predicted - truth).square().sum(2).mean()


def eq10_weights(
    id_weight: float = 1.0,
    lambda_ot: float = 0.3,
    lambda_global: float = 0.5,
    lambda_3d: float = 0.3,
    triplet_weight: float = 0.0,
    teacher_id_weight: float = 1.0,
    vertex_scale: float = 1.0,
) -> dict[str, float]:
    """Eq. (10), L = CE + 0.3 OT + 0.5 L_global + 0.3 L_3D, and what the program adds, as weights by name.

    L_3D is ``shape`` and ``mesh_ot`` together; ``vertex_scale`` is the unit of the former: 1 for square metres, 100 for square decimetres.
    """
    return {
        "id": id_weight,
        "ot": lambda_ot,
        "global": lambda_global,
        "shape": lambda_3d * vertex_scale,
        "mesh_ot": lambda_3d,
        "triplet": triplet_weight,
        "teacher": teacher_id_weight,
    }
