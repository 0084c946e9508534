"""The published data sets as they come in HumanData files (SPEC sections 13.5 and 13.6)."""
