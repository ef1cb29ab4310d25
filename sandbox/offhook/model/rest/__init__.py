"""The model's REST API: routes, forms, and resources in Twilio's format."""
