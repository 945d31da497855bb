"""picamera2 on libcamera's virtual camera: what a Pi's camera has and this one lacks.

Everything else is the real thing: requests, buffers from a DMA heap, threads, start, stop, release. The
camera is not a Raspberry Pi's, so that it has one format (NV12), and no exposure, gain or crop to set.
"""

import mmap
import os
import time
from pathlib import Path
from types import SimpleNamespace

import libcamera
import picamera2
from picamera2.allocators import DmaAllocator, dmaallocator
from picamera2.dma_heap import UniqueFD

FPS = 20.0
HEAP = Path("/dev/dma_heap/linux,cma")


class MemoryFiles:
    """Stands in for the kernel's DMA heap where there is none, with buffers in ordinary memory."""

    def alloc(self, name, size):
        fd = os.memfd_create(name)
        os.ftruncate(fd, size)
        return UniqueFD(fd)

    def close(self):
        pass


if not HEAP.exists():
    dmaallocator.DmaHeap = MemoryFiles
    dmaallocator.fcntl = SimpleNamespace(ioctl=lambda *_: 0)


class TwoPlaneAllocator(DmaAllocator):
    """Says where the colours of an NV12 picture begin, which the virtual camera wants to be told."""

    def allocate(self, libcamera_config, _):
        self.libcamera_fds = []
        self.cleanup()
        for fd in self.open_fds:
            os.close(fd)
        self.frame_buffers, self.open_fds = {}, []
        for number, stream in enumerate(libcamera_config):
            buffers = [self._buffer(f"{number}-{k}", stream) for k in range(stream.buffer_count)]
            self.frame_buffers[stream.stream] = buffers

    def _buffer(self, name, stream):
        memory = self.dmaHeap.alloc(name, stream.frame_size)
        self.open_fds.append(memory.get())
        brightness = stream.stride * stream.size.height
        planes = []
        for offset, length in ((0, brightness), (brightness, brightness // 2)):
            plane = libcamera.FrameBuffer.Plane()
            plane.fd, plane.offset, plane.length = memory.get(), offset, length
            planes.append(plane)
        buffer = libcamera.FrameBuffer(planes)
        # libcamera has its own copies of the descriptor, and they are what picamera2 goes by.
        fd = buffer.planes[0].fd
        self.libcamera_fds.append(fd)
        self.mapped_buffers_used[fd] = False
        self.mapped_buffers[buffer] = mmap.mmap(fd, stream.frame_size)
        return buffer


class VirtualCamera(picamera2.Picamera2):
    """A Picamera2 on the virtual camera, which is opened with an allocator that suits it."""

    def __init__(self, number):
        super().__init__(number, allocator=TwoPlaneAllocator())

    def _get_raw_modes(self):
        """Name a mode: without one, picamera2 cannot open a camera."""
        return [{"format": "SRGGB12_CSI2P", "size": (640, 480)}]

    def process_requests(self, display):
        """Wait for a frame period: this camera knows none, and fills a buffer the moment it gets it."""
        time.sleep(1 / FPS)
        super().process_requests(display)


LIBRARY = SimpleNamespace(Picamera2=VirtualCamera, MappedArray=picamera2.MappedArray)
