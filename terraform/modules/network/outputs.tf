output "vpc_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "Ids of the public subnets, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.public[zone].id]
}

output "security_group_ids" {
  description = "Ids of the security groups: load_balancer, airflow, jobs, warehouse, metadata, broker, endpoints."
  value       = { for name, group in aws_security_group.this : name => group.id }
}

output "nat_addresses" {
  description = "Public addresses of the NAT gateways, for partners' allow lists."
  value       = [for address in aws_eip.nat : address.public_ip]
}
