"""Specs: from YAML to frozen dataclasses, and the experiment that they compose."""
