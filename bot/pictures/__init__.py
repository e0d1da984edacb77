"""Pictures that go with answers, drawn in a thread of their own.

A picture never says more than the text beside it, and matplotlib is imported only when the first
one is drawn. The commands and `app` may import it.
"""
