# terraform init -backend-config=backend.hcl -backend-config=bucket=<state bucket> -backend-config=region=<region>
key = "waybill/staging/terraform.tfstate"
