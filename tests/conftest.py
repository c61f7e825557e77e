# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that every test shares."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
# a card adds up in changing order, and tests compare what the processor computes
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

try:
    import torch

    torch.set_num_threads(1)
except ImportError:  # Blender's environment has no torch, and needs none
    pass
