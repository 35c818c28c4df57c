"""VGG16 (Simonyan and Zisserman 2014): its convolutions, and what pixels its weights expect."""

from __future__ import annotations

from dataclasses import dataclass

LAYERS = (
    *("conv1_1", "conv1_2", "conv2_1", "conv2_2"),
    *("conv3_1", "conv3_2", "conv3_3", "conv4_1", "conv4_2", "conv4_3"),
    *("conv5_1", "conv5_2", "conv5_3"),
)


@dataclass(frozen=True)
class Plan:
    """What a backbone is made of: convolutions of 3 x 3, each with a ReLU, and max-pools.

    layers: the convolutions' names, from the picture up. channels: of one convolution after
    another, "M" for a max-pool that halves the map. first_kept: see `Backbone`. batch_norm: one
    after each convolution. vgg16: whether it is to start with VGG16's weights; else it starts at
    random.
    """

    layers: tuple[str, ...]
    channels: tuple[int | str, ...]
    first_kept: str
    batch_norm: bool = False
    vgg16: bool = False


VGG16 = Plan(
    LAYERS,
    (
        *(64, 64, "M", 128, 128, "M", 256, 256, 256, "M"),
        *(512, 512, 512, "M", 512, 512, 512),
    ),
    first_kept="conv3_3",
    vgg16=True,
)

CAFFE_MEAN_BGR = (103.939, 116.779, 123.68)
TORCHVISION_MEAN_RGB = (0.485, 0.456, 0.406)
TORCHVISION_STD_RGB = (0.229, 0.224, 0.225)
