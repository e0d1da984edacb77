"""The outside view: compares what was said to the bot with what a platform was made to show.

It reads only the platform's journal and what was sent; it asks the bot nothing. `audit.py` judges,
`wording.py` is how a question is put so that its answer can be judged, `campaign.py` kills real
processes while people talk to them.
"""
