# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages' optimiser: Adam that leaves out steps whose numbers are broken, and goes back where they stay so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from headsculpt.errors import UserError

EXPLODED = 1e3
"""A gradient so many times as long as they have been of late is left out, as one that is no number is."""
LATE = 0.1
"""Weight of the newest gradient's length (its logarithm) in what they have been of late."""
IN_A_ROW = 8
"""Broken steps after which the state goes back to the last good one."""
REMEMBER_EVERY = 50
"""Steps from one good state that is kept to the next."""
LOOK_EVERY = 16
"""Steps between two looks at a GPU's counters: a look waits for the GPU. On a CPU every step is looked at."""
MAX_RETURNS = 3
"""Returns to a good state after which a stage is given up."""


class GuardedAdam:
    """Adam (0.9, 0.99) over groups of parameters, no weight decay; constant rates (Table 2) until `slow_down`.

    A step whose gradient is not finite, or EXPLODED, changes nothing: no parameter, no moment, no count of steps. The
    fused kernel itself leaves it out, by a number on the device, so that a GPU never waits for this. After IN_A_ROW
    such steps all goes back to the last good state, and the stage goes on from there with other views and noise.
    """

    def __init__(
        self, groups: Sequence[dict[str, Any]], notice: Callable[[str], None], also: Sequence[Tensor] = ()
    ) -> None:
        """groups: as torch's optimisers take them; notice: tells the user, one sentence a call; also: other tensors of
        the stage's state, changed in place, that go back with the parameters."""
        self._adam: Any = torch.optim.Adam(groups, betas=(0.9, 0.99), eps=1e-15, fused=True)
        self._rates = [group["lr"] for group in self._adam.param_groups]
        self._parameters = [parameter for group in self._adam.param_groups for parameter in group["params"]]
        self._notice, self._also = notice, list(also)
        device = self._parameters[0].device
        self._look_every = 1 if device.type == "cpu" else LOOK_EVERY
        self._length = torch.full((), torch.inf, device=device)
        self._row, self._left_out = torch.zeros(2, device=device)
        self._steps = self._returns = 0
        self._told = False
        self._remember()

    def step(self, loss: Tensor) -> None:
        """One step down the loss. Raises UserError when the state had to go back too often."""
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        self._adam.found_inf = self._judge()
        self._adam.step()
        self._steps += 1
        if self._steps % self._look_every == 0:
            self._look()

    def slow_down(self, share: float) -> None:
        """From now on with this share of the rates that the groups came with."""
        for group, rate in zip(self._adam.param_groups, self._rates, strict=True):
            group["lr"] = share * rate

    def _judge(self) -> Tensor:
        """1 if this step's gradient is to be left out, else 0, on the device; keeps count."""
        gradients = [parameter.grad for parameter in self._parameters if parameter.grad is not None]
        length = torch.stack([gradient.norm() for gradient in gradients]).norm()
        finite = length.isfinite()
        broken = (~finite | (length > EXPLODED * self._length)).float()
        mean = torch.where(self._length.isinf(), length, self._length ** (1 - LATE) * length**LATE)
        self._length = torch.where(finite & (length > 0), mean, self._length)
        self._row = (self._row + 1) * broken
        self._left_out = self._left_out + broken
        return broken

    def _look(self) -> None:
        in_a_row, left_out = torch.stack([self._row, self._left_out]).tolist()
        if left_out > 0 and not self._told:
            self._notice("The numbers of a step ran out of range; it was left out.")
            self._told = True
        if in_a_row >= IN_A_ROW:
            self._go_back()
        elif in_a_row == 0 and self._steps - self._remembered >= REMEMBER_EVERY:
            self._remember()

    def _state(self) -> list[Tensor]:
        """All that a step changes, and what goes back with it."""
        moments = [value for state in self._adam.state.values() for value in state.values()]
        return [*self._parameters, *self._also, *moments]

    @torch.no_grad()
    def _remember(self) -> None:
        self._good = [(tensor, tensor.detach().clone()) for tensor in self._state()]
        self._remembered = self._steps

    @torch.no_grad()
    def _go_back(self) -> None:
        self._returns += 1
        if self._returns > MAX_RETURNS:
            raise UserError(
                f"The numbers ran out of range again and again, {self._returns} times in this stage.",
                "Try another seed or a lower guidance scale; on a GPU, full precision instead of half.",
            )
        for tensor, good in self._good:
            tensor.copy_(good)
        if len(self._good) < len(self._state()):  # nothing was good yet when there were moments
            self._adam.state.clear()
        self._length.fill_(torch.inf)
        self._row.zero_()
        self._notice(
            f"The numbers of {IN_A_ROW} steps in a row ran out of range; back to how it was after step "
            f"{self._remembered} of this stage."
        )
