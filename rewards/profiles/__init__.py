"""Profiles: who a customer is, kept apart from the ledger so that it can be erased while the ledger stays whole."""
