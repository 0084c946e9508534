"""How good a Mocap is, measured against a known truth: identities over time, and motion."""
