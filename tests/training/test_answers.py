"""The measures of answers, and the rule by which one of several is kept."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from bot.engine.base import SamplingParameters
from training.answers import Reply, copies_question, distinct, measure, repeats_itself
from training.decoding import answer, draw
from training.tokenizer import CONTEXT


def _tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]  (torch's stub is partial)
    config = LlamaConfig(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=CONTEXT,
    )
    return LlamaForCausalLM(config).eval()


def test_copying_means_most_word_pairs_are_the_questions() -> None:
    assert copies_question(Reply("do you like soup?", "Do you like soup?", has_ended=True))
    assert not copies_question(Reply("do you like soup?", "I like soup a lot.", has_ended=True))
    assert not copies_question(Reply("hello", "Hello", has_ended=True))


def test_repetition_means_three_words_twice() -> None:
    assert repeats_itself("I am a model, I am a model.")
    assert not repeats_itself("I am a small model, and I am here.")


def test_distinct_counts_different_grams_among_all() -> None:
    assert distinct([["a", "b"], ["a", "b"]], 1) == 0.5
    assert distinct([["a", "b", "c"]], 2) == 1.0


def test_shares_are_of_all_answers() -> None:
    replies = [Reply("hi", "Hello there, you!", has_ended=True), Reply("hi", "no", has_ended=False)]
    figures = measure(replies)
    assert figures.ended_share == 0.5
    assert figures.profanity_share == 0


def test_the_likeliest_of_the_drawn_answers_is_kept() -> None:
    model, sampling = _tiny_model(), SamplingParameters(temperature=1.0, max_tokens=6, best_of=5)
    drawn = draw(model, [1, 2, 9, 4, 3], sampling, torch.Generator().manual_seed(3))
    kept = answer(model, [1, 2, 9, 4, 3], sampling, torch.Generator().manual_seed(3))
    ended = [candidate for candidate in drawn if candidate.has_ended] or drawn
    assert kept.mean_log_probability == max(one.mean_log_probability for one in ended)


def test_a_prompt_longer_than_the_context_is_cut_from_the_left() -> None:
    sampling = SamplingParameters(max_tokens=4)
    prompt = [9] * (2 * CONTEXT)
    assert draw(_tiny_model(), prompt, sampling, torch.Generator().manual_seed(0))
