"""Work shared among torch's own threads, so that no second pool of them competes for the cores."""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false
# numba infers types; what stands in a kernel is not Python's.

import ctypes
from functools import cache
from pathlib import Path

import torch
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic


@intrinsic
def take(_context, counter):
    """The number at an address, counted up for whoever comes next."""

    def count(_ctx, builder, _signature, args):
        return builder.atomic_rmw("add", args[0], ir.IntType(64)(1), "monotonic")

    return types.int64(types.CPointer(types.int64)), count


@intrinsic
def fork(_context, entry, work, task, threads):
    """Let so many threads of OpenMP call `work(task)`: what a compiler makes of a parallel region,
    GOMP_parallel(work, task, threads, 0).
    """

    def call(ctx, builder, _signature, args):
        address = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [address, address, ir.IntType(32), ir.IntType(32)])
        given = [
            builder.inttoptr(args[1], address),
            builder.bitcast(args[2], address),
            builder.trunc(args[3], ir.IntType(32)),
            ir.IntType(32)(0),
        ]
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), given)
        return ctx.get_dummy_value()

    return types.void(types.intp, types.intp, types.CPointer(types.int64), types.intp), call


@cache
def parallel_entry() -> int:
    """Where OpenMP's runtime that torch brought is entered."""
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value or 0
