"""Spans of OpenTelemetry, off unless asked for: `tracer` is what others see, `exported` the only one that loads it."""
