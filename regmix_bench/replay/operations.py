"""Operations that no recording can repeat, as the host waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.overrides import TorchFunctionMode

_aten = torch.ops.aten
_DATA = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_INDEXED = {_aten.index, _aten.index_put, _aten.index_put_, _aten._index_put_impl_}
_COPIED = {_aten._to_copy, _aten.copy_, _aten.copy}
#: Where processes exchange tensors.
_COLLECTIVE = {"c10d", "_c10d_functional", "_c10d_functional_autograd"}


def tensors_of(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among the arguments or results of an operation, and in lists of them."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from tensors_of(value)


def identity(generator: torch.Generator) -> int:
    """Return what tells generators apart: an operation is given another object of the same one."""
    address: int = generator._cdata  # type: ignore[attr-defined]
    return address


def obstacle(
    operation: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], device: torch.device
) -> str | None:
    """Return what keeps an operation on tensors of ``device`` out of a recording, or None.

    It is that the host waits for the device, which a shape or a number then depends on, or that it
    exchanges tensors with other processes.
    """
    packet = operation.overloadpacket
    if operation.namespace in _COLLECTIVE:
        return "exchanges tensors with other processes"
    if packet in _INDEXED:
        waits = _index_waits(packet, args, device)
    elif packet in _COPIED:
        waits = _copy_waits(packet, args, kwargs, device)
    elif packet is _aten.lift_fresh:  # what torch.tensor and its like end with
        waits = device.type != "cpu" and args[0].device.type == device.type
    elif packet is _aten.repeat_interleave and kwargs.get("output_size") is not None:
        waits = False
    elif packet is _aten._linalg_check_errors or not _DATA.isdisjoint(operation.tags):
        waits = any(t.device.type == device.type for t in tensors_of((*args, *kwargs.values())))
    else:
        return None
    return "makes the host wait for the device" if waits else None


def _index_waits(packet: Any, args: Sequence[Any], device: torch.device) -> bool:
    """Return whether indices are a mask, whose true values are counted, or come from the host."""
    if args[0].device.type != device.type:
        return False
    indices = [index for index in args[1] if index is not None]
    masks = [index for index in indices if index.dtype in (torch.bool, torch.uint8)]
    # One number is filled in where a single mask is true.
    if packet is not _aten.index and len(masks) == len(indices) == 1 and args[2].numel() == 1:
        return False
    return bool(masks) or any(index.device != args[0].device for index in indices)


def _copy_waits(
    packet: Any, args: Sequence[Any], kwargs: Mapping[str, Any], device: torch.device
) -> bool:
    """Return whether values go from the host to the device or back, and the host waits for it."""
    if packet is _aten._to_copy:
        source, target = args[0].device, kwargs.get("device") or args[0].device
        blocking = not kwargs.get("non_blocking")
    else:
        source, target = args[1].device, args[0].device
        blocking = not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
        if args[1].dim() == 0 and source.type == "cpu":
            blocking = False  # a number, which is filled in
    return blocking and source.type != target.type and device.type in (source.type, target.type)


class HostReads(TorchFunctionMode):
    """Tells ``found`` of functions that the dispatcher does not see where the device is a CPU.

    There the values of a tensor are at hand, and going to the host is no operation. ``found`` gets
    the name of the function. Whether ``x.to(device)`` goes anywhere cannot be told; ``x.to("cpu")``
    is taken to mean it.
    """

    _TO_HOST = frozenset(
        {
            Tensor.tolist,
            Tensor.numpy,
            Tensor.cpu,
            Tensor.__array__,
            Tensor.__repr__,
        }
    )
    _TO_DEVICE = frozenset({torch.tensor, torch.as_tensor, torch.asarray})

    def __init__(self, device: torch.device, found: Callable[[str], None]) -> None:
        super().__init__()
        self.device, self.found = device, found

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in self._TO_HOST:
            waits = args[0].device.type == self.device.type
        elif func == Tensor.to:
            target = next((v for v in (*args[1:2], kwargs.get("device")) if v is not None), None)
            waits = isinstance(target, str) and args[0].device.type != torch.device(target).type
            waits = waits or (target == "cpu" and self.device.type == "cpu")
        elif func in self._TO_DEVICE:
            waits = kwargs.get("device") is not None and not isinstance(args[0], Tensor)
            waits = waits and torch.device(kwargs["device"]).type == self.device.type
        else:
            waits = func == Tensor.new_tensor and args[0].device.type == self.device.type
        if waits:
            self.found(func.__name__)
        return func(*args, **kwargs)
