"""OpenAI's routes, for tasks whose answers are written."""
