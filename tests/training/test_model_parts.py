"""Freezing, the learning rate, augmentation, the encoder, the device: small rooms of the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.transforms.v2 import functional as V

from facesearch.encoder.config import LAST_LAYER, EncoderConfig
from facesearch.encoder.device import choose_device
from facesearch.encoder.network import Encoder
from facesearch.errors import BadConfig, DeviceMissing, NoPretrained
from facesearch.training.augment import GREY, Augmenter, Draws, _lit, blended, colour_versions
from facesearch.training.freeze import freeze_first, frozen_at
from facesearch.training.recipe import TrainConfig
from facesearch.training.schedule import learning_rate, make_optimizer

# ---- freezing


def test_the_list_is_read_by_epoch_and_its_last_entry_stays():
    assert [frozen_at((7, 7, 5), epoch) for epoch in range(5)] == [7, 7, 5, 5, 5]
    assert [frozen_at((1,), epoch) for epoch in range(3)] == [1, 1, 1]  # a permanent first-layer freeze
    assert frozen_at((), 9) == 0


def test_freezing_the_first_layers_frees_the_others_again():
    encoder = Encoder(EncoderConfig(backbone="resnet18", embedding_size=8))
    assert freeze_first(encoder.backbone, 5) == ["conv1", "bn1", "relu", "maxpool", "layer1"]
    free = {name for name, p in encoder.backbone.named_parameters() if p.requires_grad}
    assert free and all(name.startswith(("layer2", "layer3", "layer4", "fc")) for name in free)
    freeze_first(encoder.backbone, 0)
    assert all(p.requires_grad for p in encoder.backbone.parameters())


def test_thawing_step_by_step_leaves_only_the_last_at_first():
    encoder = Encoder(EncoderConfig(backbone="resnet18", embedding_size=8))
    layers = len(list(encoder.backbone.children()))
    freeze_first(encoder.backbone, layers - 1)
    assert {n.split(".")[0] for n, p in encoder.backbone.named_parameters() if p.requires_grad} == {"fc"}
    with pytest.raises(BadConfig, match="layer4"):
        freeze_first(encoder.backbone, layers)


# ---- the learning rate, against torch's own schedulers


def rates_of_torch(scheduler_of, steps: int, lr: float = 0.3) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = scheduler_of(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_one_cycle_is_torchs_curve():
    config = TrainConfig(schedule="onecycle", lr=0.3, epochs=5, onecycle_rise=0.3)
    torchs = rates_of_torch(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, total_steps=50, pct_start=0.3), 50
    )
    assert [learning_rate(config, step, 10) for step in range(50)] == pytest.approx(torchs, rel=1e-6)


def test_warm_restarts_are_torchs_curve_by_epoch():
    config = TrainConfig(schedule="warm_restarts", lr=3e-4, lr_min=3e-5, restart_epochs=3, epochs=10)
    torchs = rates_of_torch(
        lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3, eta_min=3e-5), 10, lr=3e-4
    )
    assert [learning_rate(config, epoch * 7 + 3, 7) for epoch in range(10)] == pytest.approx(torchs, rel=1e-6)


def test_cosine_warms_up_and_ends_near_its_minimum():
    config = TrainConfig(schedule="cosine", lr=1.0, lr_min=0.1, warmup_epochs=1, epochs=10)
    rates = [learning_rate(config, step, 10) for step in range(100)]
    assert rates[:10] == sorted(rates[:10]) and max(rates) == pytest.approx(1.0, abs=1e-3)
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_norms_and_biases_can_be_spared_the_decay():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    groups = make_optimizer([net], TrainConfig(weight_decay=0.1, decay_norms=False)).param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (3, 0.0)]


# ---- augmentation


def some_crops(n: int = 6) -> torch.Tensor:
    return torch.randint(
        0, 256, (n, 112, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def drawn(n: int, seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), n, torch.device("cpu"))


def augmented(config: TrainConfig, crops: torch.Tensor, seed: int = 0, size_px: int = 112) -> torch.Tensor:
    augment, draws = Augmenter(config), drawn(len(crops), seed)
    return augment(crops, None, augment.views(len(crops), draws), size_px, draws)


FIVE = ("grayscale", "jitter", "blur", "posterize", "equalize")


def test_five_colours_make_six_versions_and_composed_thirty_two():
    config = TrainConfig(colours=FIVE, colour_mode="multiply")
    assert len(colour_versions(config)) == 6 and colour_versions(config)[0] == ()
    assert Augmenter(config).multiplies == 6
    composed = TrainConfig(colours=FIVE, colour_mode="multiply", colour_compose=True)
    assert len(colour_versions(composed)) == 32
    assert Augmenter(TrainConfig(colours=FIVE, colour_mode="random")).multiplies == 1


def test_version_zero_is_the_photo_itself_and_version_one_is_grey():
    augment, crops = Augmenter(TrainConfig(colours=FIVE, colour_mode="multiply")), some_crops(2)
    plain, grey = augment(crops, torch.tensor([0, 1]), augment.views(2, drawn(2)), 112, drawn(2))
    assert torch.equal(plain, crops[0].permute(2, 0, 1).float())
    assert torch.equal(grey[0], grey[1]) and torch.equal(grey[1], grey[2])


def test_nothing_asked_for_changes_nothing():
    crops = some_crops()
    assert torch.equal(augmented(TrainConfig(), crops), crops.permute(0, 3, 1, 2).float())


def test_every_augmentation_changes_photos_and_keeps_them_pixels():
    crops = some_crops()
    plain = crops.permute(0, 3, 1, 2).float()
    for setting in (
        "flip=true",
        "shift=0.1",
        "zoom=0.2",
        "rotate_deg=10",
        "border=1",
        "light=0.3",
        "grey=1",
        "low_res=1",
        "erase=1",
    ):
        x = augmented(TrainConfig().changed([setting]), crops, 3)
        assert x.shape == plain.shape and not torch.equal(x, plain), setting
        assert x.min() >= 0 and x.max() <= 255, setting


def test_a_flip_is_a_flip():
    crops = some_crops(40)
    x = augmented(TrainConfig(flip=True), crops, 3)
    plain = crops.permute(0, 3, 1, 2).float()
    same = torch.isclose(x, plain, atol=0.02).flatten(1).all(1)
    mirrored = torch.isclose(x, plain.flip(3), atol=0.02).flatten(1).all(1)
    assert (same ^ mirrored).all() and 8 < mirrored.sum() < 32


def test_light_is_brightness_contrast_and_saturation_one_after_the_other():
    config = TrainConfig(light=0.3)
    x = torch.rand((4, 3, 8, 8), generator=torch.Generator().manual_seed(2)) * 80 + 60
    got = _lit(x, config, drawn(4, 1))
    factors = 0.7 + 0.6 * torch.rand((3, 4, 1, 1), generator=torch.Generator().manual_seed(1))
    weights = torch.tensor(GREY).view(3, 1, 1)
    for i in range(4):
        bright, contrast, saturation = (float(f) for f in factors[:, i, 0, 0])
        y = x[i] * bright
        mean = (y * weights).sum(0).mean()
        y = mean + (y - mean) * contrast
        grey = (y * weights).sum(0, keepdim=True)
        assert torch.allclose(got[i], (grey + (y - grey) * saturation).clamp(0, 255), atol=1e-3)
        # torchvision's brightness, for the first of the three
        assert torch.allclose(
            (x[i] / 255 * bright).clamp(0, 1), V.adjust_brightness(x[i] / 255, bright), atol=1e-6
        )


def test_the_same_generator_gives_the_same_photos():
    config = TrainConfig(flip=True, shift=0.1, zoom=0.1, light=0.3, erase=0.5, low_res=0.5, border=0.5)
    one, two = (augmented(config, some_crops(), 8, 96) for _ in range(2))
    assert torch.equal(one, two) and one.shape == (6, 3, 96, 96)
    assert not torch.equal(one, augmented(config, some_crops(), 9, 96))


def test_a_border_repeats_the_rim_as_tight_pictures_do():
    crops = some_crops(20)
    x = augmented(TrainConfig(border=1.0), crops, 3)
    repeated = (x[:, :, :, 0] == x[:, :, :, 1]).flatten(1).all(1)
    assert repeated.sum() > 10


def test_a_blend_is_the_photo_and_the_next_one_by_their_shares():
    crops = some_crops(3)
    share = torch.tensor([1.0, 0.25, 0.0]).view(3, 1, 1, 1)
    out = blended(crops, share)
    assert torch.equal(out[0], crops[0]) and torch.equal(out[2], crops[0])
    assert torch.allclose(out[1].float(), 0.25 * crops[1].float() + 0.75 * crops[2].float(), atol=0.51)


# ---- the encoder


@pytest.mark.parametrize("backbone", sorted(LAST_LAYER))
def test_every_backbone_ends_in_one_linear_layer_to_the_embedding(backbone: str):
    config = TrainConfig(backbone=backbone, embedding_size=512).network()
    encoder = Encoder(config).eval()
    last = encoder.backbone.get_submodule(config.encoder_last_layer_name)
    assert isinstance(last, nn.Linear) and last.out_features == 512
    with torch.inference_mode():
        assert encoder(torch.zeros(2, 3, 64, 64)).shape == (2, 512)


def test_several_layers_can_stand_in_its_place():
    encoder = Encoder(EncoderConfig(backbone="resnet18", head=(64, 32), embedding_size=16, dropout=0.1))
    widths = [m.out_features for m in encoder.backbone.fc if isinstance(m, nn.Linear)]
    assert widths == [64, 32, 16]


def test_resnet38_does_not_exist():
    with pytest.raises(BadConfig, match="torchvision has no resnet38"):
        Encoder(EncoderConfig(backbone="resnet38"))
    with pytest.raises(BadConfig, match="'fc'"):
        Encoder(EncoderConfig(backbone="resnet18", encoder_last_layer_name="head"))


def test_zeroed_residual_blocks_begin_as_the_identity():
    encoder = Encoder(EncoderConfig(backbone="resnet18")).eval()
    encoder.zero_residuals()
    x = torch.rand(1, 64, 8, 8)
    assert torch.equal(encoder.backbone.layer1(x), x)


def test_without_a_network_the_error_names_the_file_to_pass(monkeypatch: pytest.MonkeyPatch):
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    monkeypatch.setenv("TORCH_HOME", "/nonexistent-torch-home")
    with pytest.raises((NoPretrained, PermissionError)) as caught:
        Encoder(EncoderConfig(backbone="resnet34")).load_imagenet()
    assert "resnet34-" in caught.value.advice and "--set pretrained=FILE" in caught.value.advice


def test_backbone_weights_are_taken_but_for_the_last_layer():
    import torchvision

    state = torchvision.models.resnet18().state_dict()
    encoder = Encoder(EncoderConfig(backbone="resnet18", embedding_size=8))
    last = encoder.backbone.fc.weight.clone()
    encoder.load_backbone(state)
    assert torch.equal(encoder.backbone.conv1.weight, state["conv1.weight"])
    assert torch.equal(encoder.backbone.fc.weight, last)
    with pytest.raises(BadConfig, match="weights of resnet18"):
        encoder.load_backbone(torchvision.models.resnet50().state_dict())


# ---- the device


def test_a_gpu_asked_for_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceMissing, match="no GPU"):
        choose_device("cuda")
    assert choose_device("auto").torch.type == "cpu"
    assert "CPU" in choose_device("cpu").words
    with pytest.raises(DeviceMissing, match="auto, cpu, cuda"):
        choose_device("tpu")


def test_the_precision_can_be_chosen():
    assert (
        choose_device("cpu", "float32").dtype is torch.float32
        and "float32" in choose_device("cpu", "float32").words
    )
    assert choose_device("cpu", "bfloat16").dtype is torch.bfloat16
