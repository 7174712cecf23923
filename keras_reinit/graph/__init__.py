"""Where: a model's layer graph, its blocks, and what its layers are."""

from keras_reinit.graph.block import Block, add_block_normalization, blocks
from keras_reinit.graph.block_normalization import BlockNormalization

__all__ = [
    "Block",
    "BlockNormalization",
    "add_block_normalization",
    "blocks",
]
