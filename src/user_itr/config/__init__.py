"""Typed settings, presets (`presets/*.yaml`) and overrides: `config.settings`, `config.loading`."""
