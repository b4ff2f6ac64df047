"""CUDA graphs, captured by hand.

``torch.cuda.make_graphed_callables`` is not used: it can corrupt gradients silently (torch issue
181723), and a step is more than the two passes of a module.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakSet

import torch

from regmix_bench.replay.protocol import Recorder, Recording, T


class CudaRecorder(Recorder):
    """Records the work of one CUDA device as graphs, which share a pool of memory.

    A graph keeps its results apart from those of graphs that are recorded while they are referred
    to; what is dropped before, such as gradients set to None, is overwritten by others. Rehearsals
    and captures are on one side stream, so that what libraries keep for a stream is there when a
    capture begins.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = torch.cuda.current_device() if device.index is None else device.index
        self._stream = torch.cuda.Stream(self._device)
        self._recordings: WeakSet[_CudaRecording[Any]] = WeakSet()

    def rehearse(self, work: Callable[[], T]) -> T:
        with self._aside():
            return work()

    def _record(self, work: Callable[[], T], generators: Sequence[torch.Generator]) -> Recording[T]:
        graph = torch.cuda.CUDAGraph()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer torches find generators by themselves
            for generator in generators:
                graph.register_generator_state(generator)
        if not self._recordings:  # a pool is given back with the last of its graphs
            self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()  # of what others hold and do not use, the pool may have need
        with self._aside():
            # What other threads do meanwhile, such as copying a state, is no part of the capture.
            graph.capture_begin(self._pool, capture_error_mode="thread_local")
            try:
                result = work()
                graph.capture_end()
            except BaseException:
                self._abandon(graph, generators)
                raise
        recording = _CudaRecording(result, graph)
        self._recordings.add(recording)
        return recording

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        """Work on the side stream, after what was asked for before and before what comes next."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)

    def _abandon(self, graph: torch.cuda.CUDAGraph, generators: Sequence[torch.Generator]) -> None:
        """Leave a capture that failed, so that ordinary work can go on.

        Up to torch 2.11 neither the allocator nor the generators hear of the end of one that was
        invalid (torch pull request 180395): the next draw would fail.
        """
        with contextlib.suppress(RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says so where nothing was captured yet
            graph.capture_end()
        with contextlib.suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(self._device, self._pool)
        for generator in (*generators, torch.cuda.default_generators[self._device]):
            generator.graphsafe_set_state(generator.clone_state())


class _CudaRecording(Recording[T]):
    def __init__(self, result: T, graph: torch.cuda.CUDAGraph) -> None:
        self.result, self._graph = result, graph

    def replay(self) -> None:
        self._graph.replay()
