"""The log of served predictions, and the feedback on them."""
