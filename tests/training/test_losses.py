from __future__ import annotations

import math

import pytest
import torch

from facesearch.training.losses import ArcFaceHead, arcface_logits, make_head


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_arcface_is_the_textbook_formula_from_0_to_180_degrees(margin: float):
    for degrees in range(1, 180):
        angle = math.radians(degrees)
        cosines = torch.tensor([[math.cos(angle), 0.25, -0.5]])
        logits = arcface_logits(cosines, torch.tensor([0]), margin_rad=margin, scale=64.0)
        own = (
            math.cos(angle + margin)
            if angle + margin <= math.pi
            else math.cos(angle) - margin * math.sin(margin)
        )
        assert logits[0].tolist() == pytest.approx([64 * own, 16, -32], abs=2e-3)


def test_the_true_class_never_gains_and_falls_with_the_angle():
    angles = torch.linspace(0.001, math.pi - 0.001, 500)
    cosines = angles.cos()[:, None]
    own = arcface_logits(cosines, torch.zeros(500, dtype=torch.int64), margin_rad=0.5, scale=1.0)[:, 0]
    assert (own <= cosines[:, 0] + 1e-6).all()
    assert (own[1:] <= own[:-1] + 1e-6).all()


@pytest.mark.parametrize("cosine", [1.0, -1.0])
def test_a_perfectly_aligned_face_has_a_finite_gradient(cosine: float):
    cosines = torch.full((1, 2), cosine, requires_grad=True)
    arcface_logits(cosines, torch.tensor([0]), margin_rad=0.5, scale=64.0).sum().backward()
    assert cosines.grad is not None and torch.isfinite(cosines.grad).all()


def test_the_input_is_left_as_it_was():
    cosines = torch.rand(4, 5)
    before = cosines.clone()
    arcface_logits(cosines, torch.tensor([0, 1, 2, 3]), margin_rad=0.3, scale=30.0)
    assert torch.equal(cosines, before)


def test_logits_without_margin_are_scaled_cosines():
    head = ArcFaceHead(8, 3, scale=5.0)
    vectors = torch.randn(4, 8)
    expected = [[5 * torch.cosine_similarity(v, c, dim=0).item() for c in head.centres] for v in vectors]
    assert torch.allclose(head(vectors), torch.tensor(expected), atol=1e-5)
    assert torch.allclose(head(7 * vectors), head(vectors), atol=1e-5)


def test_the_margin_is_put_on_the_true_class_alone():
    head = ArcFaceHead(8, 3, scale=5.0)
    logits = head(torch.randn(2, 8))
    harder = head.with_margin(logits, torch.tensor([2, 0]), 0.4)
    changed = (harder - logits).abs() > 1e-4
    assert changed.tolist() == [[False, False, True], [True, False, False]]


def test_cross_entropy_has_no_margin():
    head = make_head("ce", 8, 3, 5.0)
    logits = head(torch.randn(2, 8))
    assert head.with_margin(logits, torch.tensor([2, 0]), 0.4) is logits
