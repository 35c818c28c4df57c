"""The recipes that come with the project: the paper's, the walk-through's and our own."""

from __future__ import annotations

from typing import Any

from fastrcnn.training.recipe import Recipe

# Both systems start fc6 and fc7 from ImageNet. The weights that ship with this project hold only
# the convolutions, so here the whole head starts at random. VGG16's activations are about ten times
# too large for such layers: undivided, the first losses are near 100 instead of log 21.
_RANDOM_HEAD_DIVISOR = 10.0

# The paper's system, VGG16 (L).
PAPER = Recipe(divisor=_RANDOM_HEAD_DIVISOR)

PAPER_S = PAPER.but(backbone="caffenet", divisor=1.0, first_trainable="conv2")
"""The paper's S, CaffeNet. conv1 does not learn (section 4.5). The file of ImageNet weights that it
starts with is the user's, and holds fc6 and fc7 too:

    python -m fastrcnn train --recipe paper_s --data VOC2007 --out runs/s
        --backbone-weights caffenet.safetensors

With a file of the convolutions alone, or with random ones, the head starts at random too; then
``--set divisor=10`` helps, as in `PAPER`.
"""

PAPER_M = PAPER_S.but(backbone="vgg_cnn_m_1024", fc7=1024)
"""The paper's M, VGG_CNN_M_1024, likewise."""

FIVE_SCALES: dict[str, Any] = {"pyramid": (480, 576, 688, 864, 1200), "longer": 2000}
"""The paper's five scales (Table 7), for `Recipe.but` or as ``--set``:

    python -m fastrcnn train --recipe paper_s --data VOC2007 --out runs/s5
        --backbone-weights caffenet.safetensors --set pyramid=480,576,688,864,1200 --set longer=2000
"""

# The rows of the paper's Table 6 for L, besides `PAPER` itself. Those for S and M need
# --set backbone=caffenet and the other settings of `PAPER_S`.

CLASSIFICATION_ONLY = PAPER.but(bbox_reg=False)
"""Only the class loss, lambda = 0: no boxes are regressed."""

MULTI_TASK_WITHOUT_BOXES = PAPER.but(bbox_reg_at_test=False)
"""Both losses are learned, but boxes are not regressed at test time."""

STAGE_WISE = PAPER.but(first_trainable="bbox_pred")
"""Boxes alone, after the classes: all but bbox_pred is frozen ("piecewise" in the paper's code).

    python -m fastrcnn train --recipe classification_only --data VOC2007 --out runs/classes
    python -m fastrcnn train --recipe stage_wise --data VOC2007 --out runs/stage_wise
        --init runs/classes/model.safetensors
"""

# The walk-through: everything at 224 x 224, convolutions frozen, Adam on the rest for 3 epochs,
# validated on a fifth of its pictures. Its slips are not repeated: the box loss is not averaged
# over the four numbers of a box (see multi_task_loss), and no dropout at validation and test time.
WALKTHROUGH = Recipe(
    backbone="vgg16_bn",
    pooling="walkthrough",
    divisor=_RANDOM_HEAD_DIVISOR,
    square=224,
    replacement=True,
    add_ground_truth=False,
    flip=False,
    normalise_targets=False,
    first_trainable="fc6",
    optimizer="adam",
    lr=1e-4,
    weight_decay=0.0,
    bias_lr_factor=1.0,
    schedule="constant",
    lr_steps=(),
    epochs=3,
    iterations=None,
    validation_fraction=0.2,
)

LAPTOP = Recipe(
    fc6=1024,
    fc7=1024,
    fc6_rank=256,
    divisor=_RANDOM_HEAD_DIVISOR,
    shorter=400,
    longer=667,
    images_per_batch=4,
    rois_per_batch=256,
    use_difficult=False,
    flip_maps=True,
    first_trainable="fc6",
    optimizer="adamw",
    lr=5e-4,
    weight_decay=0.2,
    bias_lr_factor=1.0,
    schedule="one_cycle",
    lr_steps=(),
    warmup=0.05,
    iterations=12_000,
    average_last=0.1,
)
"""What two cores can train. The convolutions are frozen, so their maps are computed once (two
seconds a picture, proposals included). Mirrored pictures use mirrored maps. The head has a quarter
of the width, and its fc6 has a low rank from the start: a step takes a fifth of a second, and
nothing is lost to truncated SVD afterwards.

This recipe and the two below follow one another, all with seed 0. Each starts from the result of
the one before. They made an earlier detector, not the one that ships.

    python -m fastrcnn train --recipe laptop --data VOC2007 --out runs/laptop
    python -m fastrcnn train --recipe laptop_conv5 --data VOC2007 --out runs/conv5
        --init runs/laptop/model.safetensors
    torchrun --nproc-per-node 2 -m fastrcnn train --recipe laptop_conv4 --data VOC2007
        --out runs/conv4 --init runs/conv5/model.safetensors
    python -m fastrcnn compress --checkpoint runs/conv4/model.safetensors --half --shorter 480
        --out laptop.safetensors

On two cores of an AMD EPYC they took 39, 48 and 98 minutes once the proposals and kept maps were on
disk, with an earlier trainer. The last one then had mAP 0.60 on the 514 held-out pictures without
box voting and 0.64 with it. They have not been run with the present trainer.
"""

LAPTOP_CONV5 = LAPTOP.but(
    first_trainable="conv5_1",
    lr=2e-4,
    conv_lr_factor=0.1,
    warmup=0.1,
    iterations=4000,
)
"""The next step, from a detector that `laptop` made (--init). The last block of convolutions learns
too, slowly, on kept maps of the layers below it."""

LAPTOP_CONV4 = LAPTOP_CONV5.but(
    foreground_candidates=64,
    background_candidates=192,
    bg_iou_low=0.0,
    use_difficult=True,
    flip_maps=False,
    scales=(352, 400, 448, 512),
    colour_jitter=0.3,
    first_trainable="conv4_1",
    conv_lr_factor=0.15,
    iterations=1500,
)
"""The step after that, from a detector that `laptop_conv5` made: conv4 learns too. By now the
network knows the pictures by heart (its class loss is twice as high on others). So every picture
gets a new scale and new light each time, and is itself mirrored, not its map. Four times as many
RoIs are drawn, and the network learns from the hardest of them."""

# The built-in set of shapes, learned from scratch while a class looks on; with the defaults of
#   python -m fastrcnn shapes --out SET
#   python -m fastrcnn train --recipe shapes --data SET --out RUN
#   python -m fastrcnn evaluate --data SET --split test --checkpoint RUN/model.safetensors
# the training takes 78 seconds on two idle cores of an AMD EPYC (seed 4; 107 of processor time). A
# third of it goes to the proposals. The mAP on 200 new pictures is 0.92 to 0.95 (area, IoU 0.5;
# seeds 1 to 4 of data and training alike: 0.921, 0.945, 0.929, 0.922). In so few steps dropout and
# the paper's share of foreground, a quarter, would cost 0.1 of mAP.
SHAPES = Recipe(
    backbone="small",
    fc6=128,
    fc7=128,
    dropout=0.0,
    shorter=160,
    longer=240,
    fg_fraction=0.5,
    first_trainable=None,
    optimizer="adamw",
    lr=2e-3,
    weight_decay=0.01,
    bias_lr_factor=1.0,
    schedule="one_cycle",
    lr_steps=(),
    warmup=0.1,
    iterations=1200,
    average_last=0.1,
    precision="float32",
)

VOC = Recipe(
    fc6=1024,
    fc7=1024,
    divisor=_RANDOM_HEAD_DIVISOR,
    shorter=480,
    longer=800,
    images_per_batch=16,
    rois_per_batch=1024,
    foreground_candidates=64,
    background_candidates=256,
    bg_iou_low=0.0,
    use_difficult=False,
    scales=(400, 448, 496, 544, 576),
    colour_jitter=0.3,
    colour_share=0.5,
    data_shares=(0.6, 0.4),
    optimizer="adamw",
    lr=2e-4,
    weight_decay=0.05,
    bias_lr_factor=1.0,
    clip_norm=10.0,
    schedule="one_cycle",
    lr_steps=(),
    warmup=0.03,
    iterations=12_500,
    average_decay=0.999,
    svd_rank=256,
    conv_share=0.8,
    half=True,
)
"""What ships: from ImageNet's convolutions to the file, on VOC2007 and VOC2012 ("07+12").

    python -m fastrcnn train --recipe voc --data VOC2007 --data VOC2012 --out runs/voc --device cuda

200,000 views in 12,500 steps of 16 pictures. This recipe itself has not been measured yet. A script
with these settings made 198,000 views in 8 minutes on one H100. With box voting its result has mAP
0.684 on 514 held-out VOC2007 pictures (area; 0.670 with 11 points, 0.354 over IoU 0.5 to 0.95);
without voting it has 0.662. `conv_share` gains the most: with `conv_share` 1 the same weights have
0.663 with voting. The best value differs from training to training; choose it on held-out pictures.

On a processor, --set iterations=2500 makes 40,000 views, and --resume goes on after any stop. The
next thing to try keeps more of the ImageNet weights and varies the pictures more:

    --set conv_lr_factor=0.1 --set zoom_out=0.7 --set zoom_in=1.35 --set aspect_jitter=0.15
"""

RECIPES = {
    "paper": PAPER,
    "paper_s": PAPER_S,
    "paper_m": PAPER_M,
    "classification_only": CLASSIFICATION_ONLY,
    "multi_task_without_boxes": MULTI_TASK_WITHOUT_BOXES,
    "stage_wise": STAGE_WISE,
    "walkthrough": WALKTHROUGH,
    "laptop": LAPTOP,
    "laptop_conv5": LAPTOP_CONV5,
    "laptop_conv4": LAPTOP_CONV4,
    "shapes": SHAPES,
    "voc": VOC,
}
