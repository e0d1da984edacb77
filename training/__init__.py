"""How the embedded model was made: data, tokenizer, training and its figures.

Nothing here is needed to run Fireside: `bot/builtin/model/` holds the result.
"""
