"""AdamW (Loshchilov & Hutter 2019) for short processes."""

from collections.abc import Iterable

import torch
from torch.optim.adamw import adamw


class AdamW:
    """torch.optim.AdamW's arithmetic through its functional form, in one parameter group.

    torch's Optimizer class imports torch._dynamo at the first step, 4.5 s of a process that often trains for less.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        learning_rate: float,
        weight_decay: float,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        self.learning_rate = learning_rate
        self._parameters = list(parameters)
        self._weight_decay = weight_decay
        self._betas = betas
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self._parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients; every parameter must have one."""
        gradients: list[torch.Tensor] = []
        for parameter in self._parameters:
            assert parameter.grad is not None
            gradients.append(parameter.grad)
        adamw(
            list(self._parameters),
            gradients,
            self._means,
            self._squares,
            [],
            self._steps,
            fused=True,
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=self.learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )
