"""An OPC UA server with thousands of nodes, as a process of its own: PORT COUNT."""

from __future__ import annotations

import asyncio
import signal
import sys

from asyncua import Server, ua
from asyncua.ua.attribute_ids import AttributeIds

URI = "urn:plant:line"
LINES = 10


async def build(port: int, count: int) -> Server:
    """`count` numbers on ten lines; some with unit, ranges, description; some are no tags."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    plant = await server.nodes.objects.add_folder(index, "Plant")
    lines = [await plant.add_folder(index, f"Line{at}") for at in range(LINES)]
    for at in range(count):
        node = ua.NodeId(f"L{at % LINES}.T{at}", index)
        made = await lines[at % LINES].add_variable(node, f"T{at:04d}", 20.0 + at % 50)
        if at % 50 == 0:
            unit = ua.EUInformation(DisplayName=ua.LocalizedText("degC"))
            await made.add_property(0, "EngineeringUnits", unit)
            await made.add_property(0, "EURange", ua.Range(0.0, 100.0))
            await made.add_property(0, "InstrumentRange", ua.Range(-40.0, 250.0))
            text = ua.LocalizedText("=a thermowell, upper")
            told = ua.DataValue(ua.Variant(text))
            await made.write_attribute(AttributeIds.Description, told)
    first = lines[0]
    await first.add_variable(index, "Recipe", "A-7")
    await first.add_variable(index, "Profile", [1.0, 2.0, 3.0])
    await first.add_variable(index, "Picture", b"\x00", ua.VariantType.ByteString)
    await first.add_variable(index, "Running", val=True)
    # A second way to the same nodes, as views of a plant have it.
    area = await server.nodes.objects.add_folder(index, "Area")
    organizes = server.get_node(ua.NodeId(ua.ObjectIds.Organizes))
    await area.add_reference(lines[0], organizes)
    return server


async def main() -> None:
    """Serve until told to end."""
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)
    server = await build(int(sys.argv[1]), int(sys.argv[2]))
    async with server:
        print("ready", flush=True)
        await done.wait()


asyncio.run(main())
