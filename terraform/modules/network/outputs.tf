output "vpc_id" {
  description = "Id of the network."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, in the order of the zones."
  value       = [for zone in var.availability_zones : aws_subnet.private[zone].id]
}

output "security_group_ids" {
  description = "Ids of the security groups: airflow, jobs, database, endpoints."
  value = {
    airflow   = aws_security_group.airflow.id
    jobs      = aws_security_group.jobs.id
    database  = aws_security_group.database.id
    endpoints = aws_security_group.endpoints.id
  }
}

output "nat_addresses" {
  description = "Public addresses from which the network speaks to the Internet, for partners' allow lists."
  value       = [for address in aws_eip.nat : address.public_ip]
}
