"""Where: the blocks of a model, read off its layer graph."""

from keras_reinit.blocks.block import Block, add_block_normalization, blocks
from keras_reinit.blocks.block_normalization import BlockNormalization

__all__ = [
    "Block",
    "BlockNormalization",
    "add_block_normalization",
    "blocks",
]
