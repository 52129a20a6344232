"""The canary: comparing its answers with the champion's, and stopping it."""
