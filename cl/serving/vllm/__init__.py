"""A vLLM server as the engine: it follows the registry by its adapters."""
