variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "Where the jobs run."
  type        = string
  default     = "us-central1"
}

variable "vpc" {
  description = "none, direct or connector: whether containers reach a private network."
  type        = string
  default     = "none"
}

variable "vpc_egress" {
  description = "private-ranges-only or all-traffic: what goes through that network."
  type        = string
  default     = "private-ranges-only"
}

variable "callback_url" {
  description = "Where agents reach a gateway that runs elsewhere; with gateway_domain it is worked out."
  type        = string
  default     = ""
}

variable "agent_image_tag" {
  description = "Tag of the agent's image; a new one with every upgrade lets old containers keep theirs."
  type        = string
  default     = "latest"
}

variable "labels" {
  description = "Labels of everything that has labels."
  type        = map(string)
  default     = {}
}

variable "gateway_domain" {
  description = "DNS name of the gateway's machine; empty: no machine is made."
  type        = string
  default     = ""
}

variable "gateway_package" {
  description = "The gateway as a Debian package, from make package."
  type        = string
  default     = "../../../../build/sockerless-gateway_0.1.0_amd64.deb"
}

variable "acme_email" {
  description = "Address that the certificate authority writes to."
  type        = string
  default     = ""
}

variable "zone" {
  description = "Where the machine is; empty: zone a of the region."
  type        = string
  default     = ""
}

variable "users" {
  description = "IAM members who may use the Docker socket by ssh."
  type        = list(string)
  default     = []
}

variable "settings" {
  description = "More settings of the gateway, name to value."
  type        = map(string)
  default     = {}
}
