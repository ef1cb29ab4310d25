"""The model's REST API: routes, forms, and resources as Twilio returns them."""
