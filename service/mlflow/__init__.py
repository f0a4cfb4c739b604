"""MLflow by REST alone.

`connection` is how a server is asked, `runs` how a report becomes one, `versions` what is
registered, its files and its tags.

API: https://mlflow.org/docs/latest/api_reference/rest-api.html
"""
