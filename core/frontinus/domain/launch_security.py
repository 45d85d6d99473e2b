"""Confidential guests: the <launchSecurity> element."""

from __future__ import annotations

from frontinus.xml import Model, xml
from frontinus.xml.codecs import UInt32, YesNo, bare_hexadecimal, one_of

Policy = bare_hexadecimal(4)


class LaunchSecurity(Model, tag="launchSecurity"):
    """Memory encryption by the processor, and what is measured at launch."""

    type: str = xml("@type", one_of("sev", "sev-snp", "tdx", "s390-pv"), required=True)
    kernel_hashes: bool | None = xml("@kernelHashes", YesNo)
    author_key: bool | None = xml("@authorKey", YesNo)
    vcek: bool | None = xml("@vcek", YesNo)
    cbitpos: int | None = xml("cbitpos", UInt32)
    reduced_phys_bits: int | None = xml("reducedPhysBits", UInt32)
    policy: int | None = xml("policy", Policy)
    dh_cert: str | None = xml("dhCert")
    session: str | None = xml("session")
    guest_visible_workarounds: str | None = xml("guestVisibleWorkarounds")
    id_block: str | None = xml("idBlock")
    id_auth: str | None = xml("idAuth")
    host_data: str | None = xml("hostData")
    mr_config_id: str | None = xml("mrConfigId")
    mr_owner: str | None = xml("mrOwner")
    mr_owner_config: str | None = xml("mrOwnerConfig")
    quote_generation_service: str | None = xml("quoteGenerationService/@path")
