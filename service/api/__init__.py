"""HTTP: translation and nothing else. Open `routes` first."""
