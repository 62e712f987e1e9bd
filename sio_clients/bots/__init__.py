"""Bots built on the SDK."""
