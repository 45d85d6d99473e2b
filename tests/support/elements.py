"""The elements and attributes that libvirt documents for guests of QEMU (formatdomain, as of June 2026), by name.

A line is an element and what is in it: attributes, and elements that hold nothing but attributes or text (cell@id@cpus). What
all devices have (address, alias, boot, acpi) is left out, and what is of containers, other hypervisors and other processors.
"""

DOCUMENTED = """
.: @id @type bootloader bootloader_args currentMemory@unit defaultiothread@thread_pool_max@thread_pool_min description genid
  hwuuid iommufd@enabled@fdgroup iothreads maxMemory@slots@unit memory@dumpCore@unit metadata name on_crash on_poweroff
  on_reboot seclabel title uuid vcpu@cpuset@current@placement
blkiotune: weight
blkiotune/device: path read_bytes_sec read_iops_sec weight write_bytes_sec write_iops_sec
clock: @adjustment @basis @offset @start @timezone
clock/timer: @frequency @mode @name @present @tickpolicy @track catchup@limit@slew@threshold
cpu: @check @deprecated_features @match @migratable @mode cache@level@mode feature@name@policy maxphysaddr@bits@limit@mode
  model@fallback@vendor_id topology@clusters@cores@dies@sockets@threads vendor
cpu/numa/cell: @cpus @discard @id @memAccess @memory @unit
cpu/numa/cell/cache: @associativity @level @policy line@unit@value size@unit@value
cpu/numa/cell/distances: sibling@id@value
cpu/numa/interconnects: bandwidth@cache@initiator@target@type@unit@value latency@cache@initiator@target@type@value
cputune: emulator_period emulator_quota emulatorpin@cpuset emulatorsched@priority@scheduler global_period global_quota
  iothread_period iothread_quota iothreadpin@cpuset@iothread iothreadsched@iothreads@priority@scheduler period quota shares
  vcpupin@cpuset@vcpu vcpusched@priority@scheduler@vcpus
cputune/cachetune: @id @vcpus cache@id@level@size@type@unit monitor@level@vcpus
cputune/energytune: @id @vcpus monitor@vcpus
cputune/memorytune: @vcpus monitor@level@vcpus node@bandwidth@id
devices: emulator
devices/audio: @driver @dspPolicy @exclusive @id @path @runtimeDir @serverName @timerPeriod @tryMMap
devices/audio/input: @bufferCount @bufferLength @clientName @connectPorts @dev @exactName @fixedSettings @latency
  @mixingEngine @name @serverName @streamName @tryPoll @voices settings@channels@format@frequency
devices/audio/output: @bufferCount @bufferLength @clientName @connectPorts @dev @exactName @fixedSettings @latency
  @mixingEngine @name @serverName @streamName @tryPoll @voices settings@channels@format@frequency
devices/channel: log@append@file protocol@type target@address@name@port@state
devices/channel/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/console: @tty log@append@file protocol@type target@port@type
devices/console/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/controller: @index @maxEventChannels @maxGrantFrames @model @ports @type @vectors master@startport model@name
  pcihole64@unit serial
devices/controller/target: @busNr @chassis @chassisNr @hotplug @index @memReserve @port node
devices/controller/driver: @ats @cmd_per_lun @ioeventfd @iommu @iothread @max_sectors @packed @page_per_vq @queues
devices/controller/driver/iothreads/iothread: @id queue@id
devices/crypto: @model @type backend@queues
devices/disk: @device @model @rawio @sgio @snapshot backenddomain@name
  blockio@discard_granularity@logical_block_size@physical_block_size geometry@cyls@heads@secs@trans product readonly serial
  shareable target@bus@dev@dpofua@removable@rotation_rate@tray transient@shareBacking vendor wwn
devices/disk/auth: @username secret@type@usage@uuid
devices/disk/driver: @ats @cache @copy_on_read @detect_zeroes @discard @discard_no_unref @error_policy @event_idx @io
  @ioeventfd @iommu @iothread @name @packed @page_per_vq @queue_size @queues @rerror_policy @type
devices/disk/driver/iothreads/iothread: @id queue@id
devices/disk/driver/metadata_cache: max_size@unit
devices/disk/driver/statistics: statistic@interval
devices/disk/driver/statistics/latency-histogram: @type bin@start
devices/disk/encryption: @engine @format secret@type@usage@uuid
devices/disk/iotune: group_name read_bytes_sec read_bytes_sec_max read_bytes_sec_max_length read_iops_sec read_iops_sec_max
  read_iops_sec_max_length size_iops_sec total_bytes_sec total_bytes_sec_max total_bytes_sec_max_length total_iops_sec
  total_iops_sec_max total_iops_sec_max_length write_bytes_sec write_bytes_sec_max write_bytes_sec_max_length write_iops_sec
  write_iops_sec_max write_iops_sec_max_length
devices/disk/source: @dev @dir @fdgroup @file @index @managed @mode @name @namespace @pool @protocol @query @startupPolicy
  @tls @tlsHostname @volume address@bus@domain@function@slot config@file dataStore host@name@port@socket@transport
  identity@agentsock@group@keyfile@user@username knownHosts@path readahead@size reconnect@delay seclabel snapshot@name
  ssl@verify timeout@seconds
devices/disk/source/auth: @username secret@type@usage@uuid
devices/disk/source/cookies: cookie@name
devices/disk/source/encryption: @engine @format secret@type@usage@uuid
devices/disk/source/initiator: iqn@name
devices/disk/source/reservations: @managed @migration source
devices/disk/source/slices: slice@offset@size@type
devices/disk/throttlefilters: throttlefilter@group
devices/filesystem: @accessmode @dmode @fmode @model @multidevs driver@ats@format@iommu@packed@page_per_vq@queue@type@wrpolicy
  readonly source@dev@dir@file@name@pool@socket@units@usage@volume space_hard_limit@unit space_soft_limit@unit target@dir
devices/filesystem/binary: @path @xattr cache@mode lock@flock@posix openfiles@max sandbox@mode thread_pool@size
devices/filesystem/idmap: gid@count@start@target uid@count@start@target
devices/graphics: @address @autoport @connected @defaultMode @display @fullscreen @keymap @listen @multiUser @p2p @passwd
  @passwdValidTo @port @powerControl @replaceUser @sharePolicy @socket @tlsPort @websocket @xauth audio@id channel@mode@name
  clipboard@copypaste filetransfer@enable gl@enable@rendernode image@compression jpeg@compression
  listen@address@network@socket mouse@mode playback@compression streaming@mode zlib@compression
devices/hostdev: @display @managed @model @ramfb @rawio @sgio driver@iommufd@model@name ip@address@family@prefix readonly
  rom@bar@enabled@file route@address@family@gateway shareable teaming@persistent@type
devices/hostdev/source: @guestReset @name @protocol @startupPolicy @writeFiltering @wwpn adapter@name
  address@bus@domain@function@slot@target@unit@uuid block char host@name@port@socket@transport interface product@id vendor@id
devices/hostdev/source/auth: @username secret@type@usage@uuid
devices/hostdev/source/initiator: iqn@name
devices/hub: @type
devices/input: @bus @model @type driver@ats@iommu@packed@page_per_vq source@dev@evdev@grab@grabToggle@repeat
devices/interface: @managed @trustGuestRxFilters backend@fqdn@hostname@logFile@tap@type@vhost backenddomain@name
  downscript@path guest@actual@dev ip@address@family@peer@prefix link@state mac@address@check@type model@type mtu@size
  port@isolated rom@bar@enabled@file route@address@family@gateway@metric@netmask@prefix script@path target@dev@managed
  teaming@persistent@type
devices/interface/bandwidth: inbound@average@burst@floor@peak outbound@average@burst@floor@peak
devices/interface/coalesce/rx: frames@max
devices/interface/driver: @ats @event_idx @ioeventfd @iommu @name @packed @page_per_vq @queues @rss @rss_hash_report
  @rx_queue_size @tx_queue_size @txmode guest@csum@ecn@tso4@tso6@ufo host@csum@ecn@gso@mrg_rxbuf@tso4@tso6@ufo
devices/interface/filterref: @filter parameter@name@value
devices/interface/portForward: @address @dev @proto range@end@exclude@start@to
devices/interface/source: @address @bridge @connectionid @dev @mode @name @network @path @port @portgroup @portgroupid @portid
  @switchid address@bus@domain@function@slot ip@address@family@peer@prefix local@address@port reconnect@enabled@timeout
  route@address@family@gateway@metric@netmask@prefix
devices/interface/tune: sndbuf
devices/interface/virtualport: parameters@instanceid@interfaceid@managerid@profileid@typeid@typeidversion
devices/interface/vlan: @trunk tag@id@nativeMode
devices/iommu: @model
devices/iommu/driver: @aw_bits @caching_mode @dma_translation @eim @intremap @iotlb @passthrough @pciBus @xtsup
  granule@mode@size@unit
devices/lease: key lockspace target@offset@path
devices/memballoon: @autodeflate @freePageReporting @model driver@ats@iommu@packed@page_per_vq stats@period
devices/memory: @access @discard @model driver@ats@iommu@packed@page_per_vq uuid
devices/memory/source: alignsize@unit nodemask pagesize@unit path pmem
devices/memory/target: @dynamicMemslots address@base block@unit node readonly requested@unit size@unit
devices/memory/target/label: size@unit
devices/panic: @model
devices/parallel: log@append@file protocol@type target@port
devices/parallel/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/pstore: @backend path size@unit
devices/redirdev: @bus protocol@type
devices/redirdev/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/redirfilter: usbdev@allow@class@product@vendor@version
devices/rng: @model driver@ats@iommu@packed@page_per_vq rate@bytes@period
devices/rng/backend: protocol@type
devices/rng/backend/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/serial: log@append@file protocol@type
devices/serial/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/serial/target: @port @type model@name
devices/shmem: @name @role model@type msi@ioeventfd@vectors server@path size
devices/smartcard: certificate database protocol@type
devices/smartcard/source: @append @channel @host @master @mode @path @service @slave @tls clipboard@copypaste mouse@mode
  reconnect@enabled@timeout seclabel
devices/sound: @model @multichannel @streams audio@id codec@type driver@ats@iommu@packed@page_per_vq
devices/tpm: @model
devices/tpm/backend: @debug @persistent_state @version device@path encryption@secret profile@name@removeDisabled@source
  source@path
devices/tpm/backend/active_pcr_banks: sha1 sha256 sha384 sha512
devices/video: driver@ats@iommu@name@packed@page_per_vq@vgaconf
devices/video/model: @blob @edid @heads @primary @ram @type @vgamem @vram @vram64 acceleration@accel2d@accel3d@rendernode
  resolution@x@y
devices/vsock: @model cid@address@auto driver@ats@iommu@packed@page_per_vq
devices/watchdog: @action @model
features: acpi aia@value apic@eoi async-teardown@enabled ccf-assist@state cfpc@value gic@version hap@state htm@state ibs@value
  ioapic@driver msrs@unknown nested-hv@state pae pmu@state privnet ps2@state pvspinlock@state ras@state sbbc@value viridian
  vmcoreinfo@state vmport@state
features/hpt: @resizing maxpagesize@unit
features/hyperv: @mode avic@state emsr_bitmap@state evmcs@state frequencies@state ipi@state reenlightenment@state
  relaxed@state reset@state runtime@state spinlocks@retries@state synic@state vapic@state vendor_id@state@value vpindex@state
  xmm_input@state
features/hyperv/stimer: @state direct@state
features/hyperv/tlbflush: @state direct@state extended@state
features/kvm: dirty-ring@size@state hidden@state hint-dedicated@state poll-control@state pv-ipi@state
features/smm: @state tseg@unit
features/tcg: tb-cache@unit
features/xen: e820_host@state passthrough@mode@state
idmap: gid@count@start@target uid@count@start@target
iothreadids/iothread: @id @thread_pool_max @thread_pool_min poll@grow@max@shrink
keywrap: cipher@name@state
launchSecurity: @authorKey @kernelHashes @vcek cbitpos dhCert guestVisibleWorkarounds hostData idAuth idBlock mrConfigId
  mrOwner mrOwnerConfig policy quoteGenerationService@path reducedPhysBits
memoryBacking: access@mode allocation@mode@threads discard locked nosharepages source@type
memoryBacking/hugepages: page@nodeset@size@unit
memtune: hard_limit@unit min_guarantee@unit soft_limit@unit swap_hard_limit@unit
numatune: memnode@cellid@mode@nodeset memory@mode@nodeset@placement
os: @firmware bios@rebootTimeout@useserial boot@dev bootmenu@enable@timeout cmdline dtb kernel
  loader@format@readonly@secure@stateless@type shim smbios@mode type@arch@machine varstore@path@template
os/acpi: table@type
os/firmware: feature@enabled@name
os/nvram: @format @template @templateFormat
os/nvram/source: @dev @dir @fdgroup @file @index @managed @mode @name @namespace @pool @protocol @query @startupPolicy @tls
  @tlsHostname @volume address@bus@domain@function@slot config@file dataStore host@name@port@socket@transport
  identity@agentsock@group@keyfile@user@username knownHosts@path readahead@size reconnect@delay seclabel snapshot@name
  ssl@verify timeout@seconds
os/nvram/source/auth: @username secret@type@usage@uuid
os/nvram/source/cookies: cookie@name
os/nvram/source/encryption: @engine @format secret@type@usage@uuid
os/nvram/source/initiator: iqn@name
os/nvram/source/reservations: @managed @migration source
os/nvram/source/slices: slice@offset@size@type
perf: event@enabled@name
pm: suspend-to-disk@enabled suspend-to-mem@enabled
resource: fibrechannel@appid partition
sysinfo: entry@file@name
sysinfo/baseBoard: entry@file@name
sysinfo/bios: entry@file@name
sysinfo/chassis: entry@file@name
sysinfo/oemStrings: entry
sysinfo/processor: entry@file@name
sysinfo/system: entry@file@name
throttlegroups: throttlegroup
vcpus: vcpu@enabled@hotpluggable@id@order
"""
