"""A composed scene through Blender's Cycles: path-traced light, other shaders, another camera's look."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import bpy
import cv2
import numpy as np
from mathutils import Matrix

from training.data.synthetic.drawing import Mesh, SceneCamera, Setting
from training.data.synthetic.people import Wardrobe
from training.data.synthetic.scene import Scene
from training.data.synthetic.surroundings import filling

FROM_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Blender's axes from camera space (x right, y down, z forward); Blender's camera looks along -Z."""
EQUIRECTANGULAR = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
"""Axes in which Cycles reads a panorama from those of `Surroundings`."""
GROUND = 60.0
"""Half the side of the ground that catches shadows, metres."""


@dataclass
class Renderer:
    """Settings, and the textures that have been given to Blender already. Starts from Blender's factory settings."""

    wardrobe: Wardrobe
    samples: int = 24
    images: dict[int, bpy.types.Image] = field(default_factory=dict)

    def __post_init__(self) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)

    def render(self, scene: Scene, width: int, height: int, seed: int, path: Path) -> np.ndarray:
        """The picture (H, W, 3) uint8; `path` is a .png that is written on the way. The same seed, the same picture."""
        rng = np.random.default_rng(seed)
        _remove_all(keep=set(self.images.values()))
        blender = _scene(width, height, self.samples, seed)
        people = [self._mesh(posed.mesh(), True, rng) for posed in scene.people]
        things = [self._mesh(mesh, False, rng) for mesh in scene.things]
        for thing in [*people, *things, _ground(scene.camera)]:
            blender.collection.objects.link(thing)
        _camera(blender, scene, width, rng)
        _light(blender, scene.camera, scene.setting, rng)
        blender.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
        return cv2.imread(str(path))[..., ::-1].copy()

    def _mesh(self, mesh: Mesh, is_person: bool, rng: np.random.Generator) -> bpy.types.Object:
        made = bpy.data.meshes.new("mesh")
        made.vertices.add(len(mesh.points))
        made.vertices.foreach_set("co", (mesh.points @ FROM_CAMERA).astype(np.float32).ravel())
        made.loops.add(3 * len(mesh.faces))
        made.loops.foreach_set("vertex_index", mesh.faces.astype(np.int32).ravel())
        made.polygons.add(len(mesh.faces))
        made.polygons.foreach_set("loop_start", np.arange(0, 3 * len(mesh.faces), 3, dtype=np.int32))
        made.uv_layers.new().data.foreach_set("uv", np.ascontiguousarray(mesh.face_uv, np.float32).ravel())
        looks = np.column_stack([mesh.face_texture, mesh.face_gain.round(3)])
        kinds, which = np.unique(looks, axis=0, return_inverse=True)
        for texture, *gain in kinds:
            made.materials.append(self._material(int(texture), gain, is_person, rng))
        made.polygons.foreach_set("material_index", which.astype(np.int32).ravel())
        made.polygons.foreach_set("use_smooth", np.full(len(mesh.faces), is_person))
        made.update(calc_edges=True)
        return bpy.data.objects.new("mesh", made)

    def _material(self, texture: int, gain: list[float], is_person: bool, rng: np.random.Generator):
        """Skin scatters light below its surface, cloth has a sheen, things may be of metal."""
        material = bpy.data.materials.new("material")
        material.use_nodes = True
        nodes, links = material.node_tree.nodes, material.node_tree.links
        shader = nodes["Principled BSDF"]
        image = nodes.new("ShaderNodeTexImage")
        image.image = self._image(texture)
        tint = nodes.new("ShaderNodeVectorMath")
        tint.operation = "MULTIPLY"
        tint.inputs[1].default_value = gain
        links.new(image.outputs["Color"], tint.inputs[0])
        links.new(tint.outputs["Vector"], shader.inputs["Base Color"])
        links.new(image.outputs["Alpha"], shader.inputs["Alpha"])
        is_skin = texture in self.wardrobe.skins
        shader.inputs["Roughness"].default_value = rng.uniform(0.35, 0.6) if is_skin else rng.uniform(0.3, 1.0)
        if is_skin:
            shader.inputs["Subsurface Weight"].default_value = rng.uniform(0.1, 0.5)
            shader.inputs["Subsurface Scale"].default_value = 0.01
        elif is_person:
            shader.inputs["Sheen Weight"].default_value = rng.uniform(0, 0.5)
        elif rng.random() < 0.3:
            shader.inputs["Metallic"].default_value = 1.0
        return material

    def _image(self, texture: int) -> bpy.types.Image:
        if texture not in self.images:
            self.images[texture] = _image(self.wardrobe.mips[0][texture])
        return self.images[texture]


def _scene(width: int, height: int, samples: int, seed: int) -> bpy.types.Scene:
    blender = bpy.context.scene
    blender.render.engine = "CYCLES"
    blender.render.resolution_x, blender.render.resolution_y, blender.render.resolution_percentage = width, height, 100
    blender.render.image_settings.file_format, blender.render.image_settings.color_mode = "PNG", "RGB"
    blender.render.threads_mode, blender.render.threads = "FIXED", 1
    blender.cycles.samples, blender.cycles.seed, blender.cycles.use_denoising = samples, seed, True
    blender.cycles.max_bounces, blender.cycles.transparent_max_bounces = 4, 16
    blender.view_settings.view_transform = "AgX" if seed % 2 else "Standard"
    return blender


def _camera(blender: bpy.types.Scene, scene: Scene, width: int, rng: np.random.Generator) -> None:
    lens = bpy.data.cameras.new("camera")
    lens.sensor_fit, lens.sensor_width = "HORIZONTAL", 36.0
    lens.lens = 36.0 * scene.camera.focal_px / width
    lens.clip_start = 0.01
    if scene.people and rng.random() < 0.4:
        lens.dof.use_dof = True
        lens.dof.focus_distance = float(scene.people[rng.integers(len(scene.people))].joints[0, 2])
        lens.dof.aperture_fstop = rng.uniform(1.4, 5.6)
    blender.camera = _add(blender, lens, Matrix.Identity(4))


def _ground(camera: SceneCamera) -> bpy.types.Object:
    """A plane that shows nothing but the shadows on it."""
    corners = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]) * GROUND
    corners = corners - np.array([0, camera.position[1], 0])
    made = bpy.data.meshes.new("ground")
    made.from_pydata((corners @ camera.camera_from_world.T @ FROM_CAMERA).tolist(), [], [(0, 1, 2, 3)])
    ground = bpy.data.objects.new("ground", made)
    ground.is_shadow_catcher = True
    return ground


def _light(blender: bpy.types.Scene, camera: SceneCamera, setting: Setting, rng: np.random.Generator) -> None:
    """The camera sees the surroundings' picture, everything else their high-range light; and there may be a sun."""
    world = blender.world = bpy.data.worlds.new("world")
    world.use_nodes = True
    nodes, links = world.node_tree.nodes, world.node_tree.links
    turn = EQUIRECTANGULAR @ setting.panorama_from_world @ camera.camera_from_world.T @ FROM_CAMERA
    seen, light, mix = nodes["Background"], nodes.new("ShaderNodeBackground"), nodes.new("ShaderNodeMixShader")
    links.new(_around(nodes, links, _image(setting.radiance.astype(np.float32)), turn), light.inputs["Color"])
    if setting.is_flat:
        picture, place = nodes.new("ShaderNodeTexImage"), nodes.new("ShaderNodeTexCoord")
        size = blender.render.resolution_x, blender.render.resolution_y
        picture.image = _image(filling(setting.panorama, *size))
        links.new(place.outputs["Window"], picture.inputs["Vector"])
        links.new(picture.outputs["Color"], seen.inputs["Color"])
    else:
        links.new(_around(nodes, links, _image(setting.panorama), turn), seen.inputs["Color"])
    links.new(nodes.new("ShaderNodeLightPath").outputs["Is Camera Ray"], mix.inputs[0])
    links.new(light.outputs[0], mix.inputs[1])
    links.new(seen.outputs[0], mix.inputs[2])
    links.new(mix.outputs[0], nodes["World Output"].inputs["Surface"])
    mean = max(float(setting.radiance.mean()), 1e-3)
    light.inputs["Strength"].default_value = rng.uniform(0.25, 0.8) / mean
    if setting.sun_colour.any():
        sun = bpy.data.lights.new("sun", "SUN")
        sun.energy, sun.angle = rng.uniform(1, 4), rng.uniform(0.005, 0.2)
        sun.color = setting.sun_colour / setting.sun_colour.max()
        _add(blender, sun, _turned_to(FROM_CAMERA @ camera.camera_from_world @ setting.sun_direction))


def _around(nodes, links, image: bpy.types.Image, turn: np.ndarray) -> bpy.types.NodeSocket:
    """Colour of an equirectangular picture in the direction one looks, turned by a rotation (3, 3)."""
    around, mapping = nodes.new("ShaderNodeTexEnvironment"), nodes.new("ShaderNodeMapping")
    around.image = image
    mapping.inputs["Rotation"].default_value = Matrix(turn.tolist()).to_euler("XYZ")
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], mapping.inputs["Vector"])
    links.new(mapping.outputs["Vector"], around.inputs["Vector"])
    return around.outputs["Color"]


def _add(blender: bpy.types.Scene, data: bpy.types.ID, matrix: Matrix) -> bpy.types.Object:
    made = bpy.data.objects.new(data.name, data)
    made.matrix_world = matrix
    blender.collection.objects.link(made)
    return made


def _turned_to(direction: np.ndarray) -> Matrix:
    """A matrix whose Z axis points along a direction (3,): lamps shine along -Z."""
    z = direction / np.linalg.norm(direction)
    x = np.cross([0, 1, 0] if abs(z[1]) < 0.9 else [1, 0, 0], z)
    x /= np.linalg.norm(x)
    return Matrix(np.stack([x, np.cross(z, x), z], 1).tolist()).to_4x4()


def _image(picture: np.ndarray) -> bpy.types.Image:
    """A picture (H, W, 3 or 4) as Blender's: uint8 as sRGB, float as linear light."""
    height, width, channels = picture.shape
    is_linear = picture.dtype != np.uint8
    rgba = np.ones((height, width, 4), np.float32)
    rgba[..., :channels] = picture if is_linear else picture.astype(np.float32) / 255
    image = bpy.data.images.new("image", width, height, alpha=True, float_buffer=is_linear)
    image.alpha_mode = "CHANNEL_PACKED"
    image.pixels.foreach_set(rgba[::-1].ravel())
    image.update()
    return image


def _remove_all(keep: set) -> None:
    for kind in ("objects", "meshes", "materials", "worlds", "lights", "cameras", "images"):
        blocks = getattr(bpy.data, kind)
        for block in [block for block in blocks if block not in keep]:
            blocks.remove(block)
