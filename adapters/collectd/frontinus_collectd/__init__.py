"""Figures of the engine for collectd (`plugin`), munin (`munin`) and Nagios or Icinga (`nagios`). Read only."""
