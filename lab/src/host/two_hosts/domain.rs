// SPDX-License-Identifier: GPL-2.0
//! The guest, as libvirt is told of it.

use anyhow::Result;
use vvp_harness::pci::Function;

use crate::control;
use crate::host::common::Common;

/// Its name.
pub const NAME: &str = "l2";
/// The socket of its control port.
pub const CONTROL: &str = "/run/l2.control";
/// The file that its console goes to.
pub const CONSOLE: &str = "/tmp/l2.console.log";

/// The domain. `model` is the driver to ask libvirt for; without, libvirt chooses one.
pub fn xml(common: &Common, vf: &Function, model: Option<&str>) -> Result<String> {
    let driver = model.map_or_else(String::new, |model| {
        format!("\n      <driver model='{model}'/>")
    });
    let address = vf.address().to_string();
    let mut parts = address.split([':', '.']);
    let mut part = || parts.next().unwrap_or_default();
    let (domain, bus, slot, function) = (part(), part(), part(), part());
    Ok(format!(
        "<domain type='kvm'>
  <name>{NAME}</name>
  <memory unit='MiB'>{memory}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 panic=-1 loglevel=5</cmdline>
  </os>
  <features><acpi/><apic eoi='off'/></features>
  <cpu mode='host-passthrough'/>
  <on_reboot>destroy</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='file'>
      <source path='{CONSOLE}'/>
    </serial>
    <channel type='unix'>
      <source mode='bind' path='{CONTROL}'/>
      <target type='virtio' name='{port}'/>
    </channel>
    <hostdev mode='subsystem' type='pci' managed='yes'>{driver}
      <source>
        <address domain='0x{domain}' bus='0x{bus}' slot='0x{slot}' function='0x{function}'/>
      </source>
    </hostdev>
  </devices>
</domain>
",
        memory = common.memory,
        kernel = common.kernel_image()?.display(),
        initrd = common.initrd.display(),
        port = control::PORT,
    ))
}
