"""The CIM/WBEM provider of Frontinus: CIM-XML over HTTPS in front of the engine."""
