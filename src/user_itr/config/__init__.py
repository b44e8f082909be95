"""Typed settings, presets and overrides: `config.settings`, `config.loading`, `config/presets/*.yaml`."""
