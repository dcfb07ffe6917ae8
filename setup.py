"""The part of the build that pyproject.toml cannot state: a library in C++ for ctypes.

It is no Python module: it needs a compiler, as hnswlib does, and no Python.h.
"""

from pathlib import Path

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "vector_index._native",
            sources=["vector_index/native.cpp"],
            depends=sorted(map(str, Path("vector_index/native").glob("*.h"))),
            language="c++",
            extra_compile_args=[
                *("-std=c++17", "-O3", "-pthread", "-ffp-contract=off"),
                *("-Wall", "-Wextra", "-Wno-psabi"),
            ],
            extra_link_args=["-pthread"],
        )
    ]
)
