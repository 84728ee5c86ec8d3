"""Conversations with the Lambda API that were once held with AWS itself, held again with squib.

A scenario is a function that makes the calls (functions, versions, aliases, ...); a scene makes them on a
live squib and compares each answer with the recorded one of the same name. What differs, and why, is data:
outcomes.toml. The recordings themselves are not part of the project (recordings).
"""
