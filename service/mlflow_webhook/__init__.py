"""A receiver of MLflow's webhooks: a new version of a registered model is analysed, and gets the verdict as tags.

`receiver` is what MLflow asks, `deliveries` who may, `analyst` what is done in the background.
"""
