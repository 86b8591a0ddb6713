"""Sequence models. To add one: a file with its spec and module, and a line in `ModelSpec`."""

from icrl.models.mlp import MLPSpec
from icrl.models.recurrent import GRUSpec, LSTMSpec
from icrl.models.s5 import S5Spec
from icrl.models.transformer import TransformerSpec

ModelSpec = S5Spec | GRUSpec | LSTMSpec | TransformerSpec | MLPSpec
