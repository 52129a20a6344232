"""The canary: compare its answers with the champion's and stop it."""
