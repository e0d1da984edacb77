"""The architecture: a small Llama with tied embeddings, as `transformers` defines it."""
# pyright: reportUnknownMemberType=false
# The stubs of torch and transformers are partial.

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from training.tokenizer import BEGIN, CONTEXT, END, PAD, VOCABULARY, special_id


def build_model(seed: int) -> LlamaForCausalLM:
    """A model with fresh weights, 8.9 million parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=320,
            intermediate_size=896,
            num_hidden_layers=6,
            num_attention_heads=5,
            num_key_value_heads=5,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            bos_token_id=special_id(BEGIN),
            eos_token_id=special_id(END),
            pad_token_id=special_id(PAD),
        )
    )


def load_model(folder: Path) -> LlamaForCausalLM:
    """The saved model in fp32, ready to evaluate."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def count_parameters(model: LlamaForCausalLM) -> int:
    """Distinct weights: tied embeddings count once."""
    return sum(weight.numel() for weight in model.parameters())
