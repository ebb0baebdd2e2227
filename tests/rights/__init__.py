"""The calls of AWS that tests record, and the rights that Terraform grants for them."""
